/** Finds a QR code in camera frames. */
package org.hiertk.demo.camera

import com.google.zxing.BinaryBitmap
import com.google.zxing.ChecksumException
import com.google.zxing.FormatException
import com.google.zxing.NotFoundException
import com.google.zxing.PlanarYUVLuminanceSource
import com.google.zxing.common.HybridBinarizer
import com.google.zxing.qrcode.QRCodeReader
import org.hiertk.core.image.YuvFrame
import java.nio.Buffer

/** Allocates its buffer when the frames' size changes. One thread at a time. */
class QrReader {
    private val reader = QRCodeReader()
    private var brightness = ByteArray(0)

    /** Return the text of a code in the frame, whichever way up; null if there is none that can be read. */
    fun read(frame: YuvFrame): String? {
        // As a Buffer: a ByteBuffer's own rewind came with Android 13.
        val rows = frame.y.bytes
        val needed = frame.y.rowStride * frame.height
        if (brightness.size != needed) brightness = ByteArray(needed)
        (rows as Buffer).rewind()
        rows.get(brightness, 0, minOf(needed, rows.remaining())) // the last row may end early
        val source = PlanarYUVLuminanceSource(
            brightness, frame.y.rowStride, frame.height, 0, 0, frame.width, frame.height, false,
        )
        return try {
            reader.decode(BinaryBitmap(HybridBinarizer(source))).text
        } catch (error: NotFoundException) {
            null
        } catch (error: ChecksumException) {
            null // a blurred one: the next frame may be sharper
        } catch (error: FormatException) {
            null
        }
    }
}
