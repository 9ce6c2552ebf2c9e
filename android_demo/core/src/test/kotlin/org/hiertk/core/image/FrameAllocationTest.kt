package org.hiertk.core.image

import com.sun.management.ThreadMXBean
import java.lang.management.ManagementFactory
import kotlin.test.assertEquals
import kotlin.test.assertTrue
import org.hiertk.core.bundle.InputInfo
import org.junit.jupiter.api.Test

private const val FRAMES = 50

class FrameAllocationTest {
    private val threads = ManagementFactory.getThreadMXBean() as ThreadMXBean
    private val scaler = FrameScaler(32)
    private val normalizer = InputNormalizer(InputInfo(32, List(3) { 0.5 }, List(3) { 0.25 }))
    private val frame = cameraFrame(pixelStride = 2, padding = 5, isDirect = true)
    private val argb = IntArray(frame.width * frame.height) { it * 12345 }
    private val pixels = ByteArray(32 * 32 * 3)
    private val inputs = FloatArray(2 * pixels.size)

    private fun allocated(work: Runnable): Long {
        work.run() // the buffers grow to this frame's size once
        val thread = Thread.currentThread().id
        val before = threads.getThreadAllocatedBytes(thread)
        work.run()
        return threads.getThreadAllocatedBytes(thread) - before
    }

    @Test
    fun `from a frame to the input nothing is allocated`() {
        assertEquals(
            0,
            allocated {
                for (number in 0 until FRAMES) {
                    scaler.scale(frame, 90, pixels)
                    normalizer.normalize(pixels, inputs, pixels.size)
                }
            },
        )
        assertEquals(0, allocated { for (number in 0 until FRAMES) scaler.scale(argb, frame.width, frame.height, 0, pixels) })
    }

    @Test
    fun `the measurement would show a buffer`() {
        assertTrue(allocated { pixels.copyOf() } >= pixels.size)
    }
}
