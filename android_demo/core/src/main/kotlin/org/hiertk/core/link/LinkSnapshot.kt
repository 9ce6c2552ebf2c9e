/** The link as the screen shows it, and what it may take. */
package org.hiertk.core.link

import org.hiertk.protocol.ModelStatus

/** What the phone is connected to. WIFI: any network that is not metered. */
enum class NetworkKind { NONE, MOBILE, WIFI }

/** DISCONNECTED: tries again by itself. REFUSED: too, but somebody has to mend something. WAITING: see `waitsFor`. */
enum class LinkState { DISCONNECTED, CONNECTING, CONNECTED, REFUSED, WAITING }

/** What has to change before the link is tried. */
enum class Obstacle { NO_NETWORK, NOT_WIFI, BUDGET_USED_UP, BUDGET_TOO_SMALL }

/** What the link may take. bytesPerDay: of any 24 hours; 0: no budget. */
data class LinkLimits(val bytesPerDay: Long = 0, val wifiOnly: Boolean = false)

/**
 * The link at one moment.
 *
 * waitsFor: while WAITING. reason: why there is no connection, and what to do; empty while there is one.
 * sinceMillis: wall clock, of the state. cloudIsOnline: broker and cloud can be reached. model: what
 * the cloud says of its training; null while it is out of reach. dayBytes: over the wire in the newest
 * 24 hours. budgetLeft: null without a budget. inFlight: messages on their way. sentTotal: messages
 * since the start. refusedTotal: by the cloud, ever. problems: what is wrong now. lastError: the newest
 * thing that was wrong; empty: nothing was.
 */
data class LinkSnapshot(
    val state: LinkState,
    val waitsFor: Obstacle? = null,
    val reason: String = "",
    val sinceMillis: Long = 0,
    val cloudIsOnline: Boolean = false,
    val model: ModelStatus? = null,
    val dayBytes: Long = 0,
    val budgetLeft: Long? = null,
    val spooled: Int = 0,
    val spooledBytes: Long = 0,
    val inFlight: Int = 0,
    val sentTotal: Long = 0,
    val refusedTotal: Long = 0,
    val problems: List<String> = emptyList(),
    val lastError: String = "",
)
