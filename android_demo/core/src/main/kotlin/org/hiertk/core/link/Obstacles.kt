/** Whether the link may be used at all: network, Wi-Fi only, daily budget. Pure. */
package org.hiertk.core.link

// What connecting and a status take, so that a budget is not used up by coming and going.
private const val ROOM_TO_CONNECT = 4096L

/** Return what is in the way. dayBytes: of the newest 24 hours. nextPacket: bytes of what is to be sent next. */
internal fun obstacle(
    network: NetworkKind,
    limits: LinkLimits,
    dayBytes: Long,
    nextPacket: Int,
    isUp: Boolean,
): Obstacle? {
    val budget = limits.bytesPerDay
    val needed = nextPacket + PUBACK_BYTES + if (isUp) 0L else ROOM_TO_CONNECT
    return when {
        network == NetworkKind.NONE -> Obstacle.NO_NETWORK
        limits.wifiOnly && network != NetworkKind.WIFI -> Obstacle.NOT_WIFI
        budget == 0L -> null
        nextPacket + ROOM_TO_CONNECT > budget -> Obstacle.BUDGET_TOO_SMALL
        dayBytes + needed > budget -> Obstacle.BUDGET_USED_UP
        else -> null
    }
}

/** Say in a line what is in the way, and what to do. */
internal fun obstacleText(obstacle: Obstacle, limits: LinkLimits): String = when (obstacle) {
    Obstacle.NO_NETWORK -> "there is no network: features wait on the phone"
    Obstacle.NOT_WIFI -> "waits for Wi-Fi: connect to one, or allow mobile data"
    Obstacle.BUDGET_USED_UP ->
        "the daily budget of ${limits.bytesPerDay} bytes is used up: wait, or allow more"
    Obstacle.BUDGET_TOO_SMALL ->
        "the daily budget of ${limits.bytesPerDay} bytes is smaller than one message needs: allow more"
}
