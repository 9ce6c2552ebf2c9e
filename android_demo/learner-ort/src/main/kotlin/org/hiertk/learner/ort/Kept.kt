/** What a checkpoint keeps beside parameters and moments, as properties that the Python learner has, too. */
package org.hiertk.learner.ort

import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtTrainingSession
import org.hiertk.core.BundleException
import org.hiertk.core.bundle.Manifest
import org.hiertk.core.learning.parseSlots
import java.nio.file.Path

/** Edge step and open slots of one moment. */
internal class Kept(val edgeStep: Long, val openSlots: Set<Int>) {
    companion object {
        private const val STEP = "hiertk_edge_step"
        private const val BUNDLE = "hiertk_bundle_id"
        private const val OPEN = "hiertk_open_slots"
        private const val SHOWN = 40

        /** Return what a bundle begins with. */
        fun exported(manifest: Manifest) = Kept(0, manifest.classes.names.indices.toSet())

        /** Return what a session was opened with. Throws BundleException if it is another bundle's, or damaged. */
        fun read(session: OrtTrainingSession, manifest: Manifest, checkpoint: Path): Kept {
            val (bundle, step, open) = try {
                Triple(session.getStringProperty(BUNDLE), session.getIntProperty(STEP), session.getStringProperty(OPEN))
            } catch (error: OrtException) {
                throw BundleException("$checkpoint is no checkpoint of a device: ${firstLine(error)}", error)
            }
            if (bundle != hex(manifest)) {
                throw BundleException(
                    "$checkpoint is a checkpoint of bundle ${bundle.take(SHOWN)}, not of ${hex(manifest)}: " +
                        "take that bundle, or forget what was learned",
                )
            }
            val slots = parseSlots(open, manifest.classes.capacity)
            if (step < 0 || slots == null) {
                throw BundleException("$checkpoint is damaged: edge step $step, open slots ${open.take(SHOWN)}")
            }
            return Kept(step.toLong(), slots)
        }

        /** Write a checkpoint of the session, with them. Throws OrtException, StorageException. */
        fun save(session: OrtTrainingSession, manifest: Manifest, edgeStep: Long, openSlots: String, file: Path) {
            session.addProperty(STEP, Math.toIntExact(edgeStep))
            session.addProperty(BUNDLE, hex(manifest))
            session.addProperty(OPEN, openSlots)
            session.saveCheckpoint(file, true)
            // 1.19.2 takes 8 bytes of the 4 that Java hands it: the upper half is whatever was beside them.
            CheckpointFile(file).writeInteger(STEP, edgeStep)
        }

        private fun hex(manifest: Manifest): String =
            manifest.bundleId.toByteArray().joinToString("") { "%02x".format(it) }
    }
}
