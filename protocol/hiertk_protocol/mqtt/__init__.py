"""The connection to the broker that devices and cloud share."""

from hiertk_protocol.mqtt.address import BrokerAddress, parse_broker
from hiertk_protocol.mqtt.link import KEEPALIVE_S, MqttLink
from hiertk_protocol.mqtt.records import BrokerLimits, Handlers, Incoming, Request, Will

__all__ = [
    "KEEPALIVE_S",
    "BrokerAddress",
    "BrokerLimits",
    "Handlers",
    "Incoming",
    "MqttLink",
    "Request",
    "Will",
    "parse_broker",
]
