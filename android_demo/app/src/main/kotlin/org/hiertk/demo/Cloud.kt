/** The way to a deployment's cloud, and what its final exit is asked. */
package org.hiertk.demo

import org.hiertk.core.bundle.Manifest
import org.hiertk.core.learning.CloudHelp
import org.hiertk.core.learning.CloudQuestions
import org.hiertk.core.learning.SendQuestion
import org.hiertk.core.link.BrokerAddress
import org.hiertk.core.link.Credentials
import org.hiertk.core.link.HiveMqTransport
import org.hiertk.core.link.MqttTransport
import org.hiertk.core.link.Reply
import org.hiertk.core.link.Session
import org.hiertk.core.pairing.Pairing

/** Return the transport to a pairing's broker: TLS that trusts the deployment's CA alone. Throws ConfigException. */
fun transportTo(pairing: Pairing): MqttTransport = HiveMqTransport(
    BrokerAddress(pairing.host, pairing.port, tls = true),
    Credentials(ca = pairing.ca, username = pairing.device, password = pairing.password),
)

/** Return how the final exit is asked over a session. */
fun helpOf(session: Session, manifest: Manifest) = CloudHelp(
    CloudQuestions(
        manifest,
        isLinked = { session.snapshot.cloudIsOnline },
        link = SendQuestion { payload, deadlineMillis, answer ->
            session.ask(payload, deadlineMillis) { reply ->
                when (reply) {
                    is Reply.Came -> answer(reply.payload, "")
                    is Reply.None -> answer(null, reply.why)
                }
            }
        },
    )
)
