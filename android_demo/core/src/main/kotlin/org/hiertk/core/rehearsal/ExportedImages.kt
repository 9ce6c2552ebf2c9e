/** The labelled images that a bundle brings along: a new memory begins with them. */
package org.hiertk.core.rehearsal

import org.hiertk.core.BundleException
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.tensors.Safetensors

private const val FILE = "rehearsal/samples.safetensors"
private const val IMAGES = "images"

/** An image of the exporter's. pixels: (size, size, 3) 8-bit RGB. name: its class at export. */
class ExportedImage(val pixels: ByteArray, val name: String)

/** Return the images that a bundle brings along, maybe none, one at a time in memory. Throws BundleException. */
fun exportedImages(bundle: Bundle): Sequence<ExportedImage> {
    if (FILE !in bundle.manifest.files) return emptySequence()
    val file = bundle.path(FILE)
    val tensors = Safetensors(file)
    val names = bundle.manifest.classes.names
    val size = bundle.manifest.input.size
    val rawBytes = bundle.manifest.input.values
    val slots = tensors.longs("slots")
    if (tensors.shape(IMAGES) != listOf(slots.size, size, size, 3) || slots.any { it !in names.indices }) {
        throw BundleException("$file: its images do not fit the bundle: export the bundle again")
    }
    return slots.asSequence().mapIndexed { row, slot ->
        ExportedImage(tensors.bytes(IMAGES, row * rawBytes, rawBytes), names[slot.toInt()])
    }
}
