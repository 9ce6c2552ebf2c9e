/** The errors of this project: one clear line each, saying what is wrong, where, and what to do. */
package org.hiertk.core

sealed class HierTkException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** A bundle that cannot be used: damaged, of another schema version, or for another engine. */
class BundleException(message: String, cause: Throwable? = null) : HierTkException(message, cause)

/** Bytes from the network that are no message of the protocol. */
class ProtocolException(message: String, cause: Throwable? = null) : HierTkException(message, cause)

/** Files on the device that cannot be read or written. */
class StorageException(message: String, cause: Throwable? = null) : HierTkException(message, cause)

/** What the user or the app asked for and cannot be. */
class ConfigException(message: String, cause: Throwable? = null) : HierTkException(message, cause)

/** The training engine failed, or is not there. */
class EngineException(message: String, cause: Throwable? = null) : HierTkException(message, cause)

/** Return what a file or the network says as a part of an error's one line. */
fun onOneLine(text: String, letters: Int): String = text.take(letters).filter { !it.isISOControl() }
