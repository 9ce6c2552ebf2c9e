/** The state of a step program: the names of its tensors, and their values in the bundle's files. */
package org.hiertk.learner.executorch

import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import org.hiertk.core.BundleException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.onOneLine
import org.hiertk.core.readBounded
import org.hiertk.core.reasonOf
import org.hiertk.core.tensors.FloatTensor
import org.hiertk.core.tensors.Safetensors
import java.io.IOException
import java.nio.file.Path

private const val NAMES = "edge/state.json"
private const val VALUES = "edge/params.safetensors"
private const val MAX_NAMES_BYTES = 1 shl 22
private const val SHOWN = 200
private const val EXPORT_AGAIN = "export the bundle again"

/** Tensors by their names, in the program's order. */
internal typealias Tensors = Map<String, FloatTensor>

/** What a program begins with. parameters: trained; statistics: moved by a step; constants: only read. */
internal class ProgramState(val parameters: Tensors, val statistics: Tensors, val constants: Tensors) {
    companion object {
        /** Read a bundle's. Throws BundleException. */
        fun read(bundle: Bundle): ProgramState {
            val names = readNames(bundle.path(NAMES))
            val file = bundle.path(VALUES)
            val tensors = Safetensors(file)
            val wanted = names.parameters + names.statistics + names.constants
            // Sorted lists: a name that is there twice is odd, too.
            if (wanted.sorted() != tensors.names.sorted()) {
                throw BundleException("$file does not have the tensors that $NAMES names: $EXPORT_AGAIN")
            }
            return ProgramState(tensors.all(names.parameters), tensors.all(names.statistics), tensors.all(names.constants))
        }

        private fun Safetensors.all(names: List<String>): Tensors = names.associateWith(::tensor)
    }
}

@Serializable
private class ProgramNames(val parameters: List<String>, val statistics: List<String>, val constants: List<String>)

private fun readNames(file: Path): ProgramNames = try {
    Json.decodeFromString<ProgramNames>(String(readBounded(file, MAX_NAMES_BYTES)))
} catch (error: IOException) {
    throw BundleException("$file: ${reasonOf(error)}: $EXPORT_AGAIN", error)
} catch (error: IllegalArgumentException) { // the parser's own exceptions are such, too
    throw BundleException("$file: ${onOneLine(error.message.orEmpty().lineSequence().first(), SHOWN)}: $EXPORT_AGAIN", error)
}
