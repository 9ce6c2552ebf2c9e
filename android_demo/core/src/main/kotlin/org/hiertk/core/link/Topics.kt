/** MQTT topics: everything lies below `hiertk/v1/{deployment}/`. */
package org.hiertk.core.link

import org.hiertk.core.ConfigException

private val DEVICE_NAME = Regex("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
private val DEPLOYMENT = Regex("[0-9a-f]{16}")

/** Whether the name can stand in a topic, a file name and a certificate. */
fun isDeviceName(name: String): Boolean = DEVICE_NAME.matches(name) && name != "down"

/** The topics of one device of a deployment. Throws ConfigException for names that cannot be theirs. */
class Topics(deployment: String, device: String) {
    init {
        if (!DEPLOYMENT.matches(deployment)) {
            throw ConfigException(
                "deployment '${deployment.take(80)}' is not 16 hexadecimal digits: take the bundle's own"
            )
        }
        if (!isDeviceName(device)) {
            throw ConfigException(
                "device name '${device.take(80)}' is not usable: take 1 to 63 of a-z, 0-9 and '-', " +
                    "beginning and ending with a letter or digit, and not 'down'"
            )
        }
    }

    private val root = "hiertk/v1/$deployment"
    val features = "$root/$device/up/features"
    val status = "$root/$device/up/status"
    val ack = "$root/$device/down/ack"
    val predict = "$root/$device/up/predict"
    val predictReply = "$root/$device/down/predict"
    val classRequest = "$root/$device/up/classes"
    val classReply = "$root/$device/down/classes"
    val classMap = "$root/down/classes"
    val model = "$root/down/model"
}
