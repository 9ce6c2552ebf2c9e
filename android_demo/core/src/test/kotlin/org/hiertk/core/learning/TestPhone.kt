/** A phone for tests: real files, real parts, and the learner on pooled pixels. */
package org.hiertk.core.learning

import org.hiertk.core.bundle.Manifest
import org.hiertk.core.bundle.parseManifest
import org.hiertk.core.classes.DeviceClasses
import org.hiertk.core.classes.ExportedClasses
import org.hiertk.core.messages.BatchEncoder
import org.hiertk.core.messages.MAX_MESSAGE_BYTES
import org.hiertk.core.rehearsal.ExportedImage
import org.hiertk.core.rehearsal.RehearsalMemory
import org.hiertk.core.spool.Spool
import java.nio.file.Path
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.random.Random
import kotlin.test.assertTrue

const val IMAGE_SIZE = 8
const val BATCH_SIZE = 16
const val CLASS_SLOTS = 8

/** The manifest of a bundle with these classes and CLASS_SLOTS slots, for images of 8 by 8 pixels. */
fun testManifest(vararg names: String): Manifest = parseManifest(
    """
    {"schema_version": 1, "target": "android",
     "model": {"name": "pooled", "split": 1, "split_count": 2, "split_module": "pool", "stem": "3x3",
               "edge_parameters": 0, "cloud_parameters": 0, "normalization": "frozen", "bottleneck": null},
     "input": {"size": $IMAGE_SIZE, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
     "features": {"shape": [$POOLED_CHANNELS, 2, 2], "bits": 8},
     "classes": {"names": [${names.joinToString { "\"$it\"" }}], "capacity": $CLASS_SLOTS},
     "optimizer": {"name": "sgd", "learning_rate": 0.5, "momentum": 0.0, "weight_decay": 0.0, "nesterov": false},
     "engine": {"backend": "torch", "version": "0", "batch_size": $BATCH_SIZE},
     "parity": [], "files": {}}
    """.trimIndent().toByteArray(),
    "test",
)

/** An image of a kind: a colour for each quarter that depends on the kind alone, and noise. */
fun imageOf(kind: Int, random: Random): ByteArray {
    val colors = Random(1_000 + kind)
    val palette = IntArray(12) { colors.nextInt(40, 215) }
    return ByteArray(3 * IMAGE_SIZE * IMAGE_SIZE) { index ->
        val pixel = index / 3
        val quarter = 2 * (pixel / IMAGE_SIZE / (IMAGE_SIZE / 2)) + pixel % IMAGE_SIZE / (IMAGE_SIZE / 2)
        (palette[3 * quarter + index % 3] + random.nextInt(-25, 26)).toByte()
    }
}

/** Several images of a kind. */
fun imagesOf(kind: Int, count: Int, seed: Int = 0): List<ByteArray> {
    val random = Random(31 * kind + seed)
    return List(count) { imageOf(kind, random) }
}

/** All that learning needs, in a folder; open it again for a restart. bundled: images that the bundle brings. wrap: puts faults into the learner. */
class TestPhone(
    folder: Path,
    val manifest: Manifest = testManifest("red", "green"),
    retryMillis: Long = 50,
    checkpointSteps: Int = 50,
    bundled: List<ExportedImage> = emptyList(),
    wrap: (EdgeLearner) -> EdgeLearner = { it },
) : AutoCloseable {
    val classes = DeviceClasses.open(folder.resolve("classes.json"), ExportedClasses(manifest))
    val memory = RehearsalMemory.open(folder.resolve("rehearsal"), manifest.input.values, 200_000, classes, Random(1)) {
        bundled.asSequence()
    }
    val spool = Spool.open(folder.resolve("spool"))
    val predictions = LinkedBlockingQueue<Prediction>()
    val predictor = Predictor(predictions::put)
    private val exported = manifest.classes.names.size
    val loop = LearningLoop(
        LearningParts(
            manifest,
            { wrap(PooledSoftmax(IMAGE_SIZE, CLASS_SLOTS, exported, it)) },
            Checkpoints(folder.resolve("checkpoints")),
            classes,
            memory,
            Outbox(BatchEncoder(manifest, "phone-1"), spool, { MAX_MESSAGE_BYTES }),
        ),
        LearningSettings(Mix(BATCH_SIZE), checkpointSteps = checkpointSteps, random = Random(2)),
        predictor,
        retryMillis = retryMillis,
    )

    /** Begin to learn, and wait until the engine is open. */
    fun start() = apply {
        loop.start()
        await("the engine is open") { loop.snapshot != null }
    }

    /** Return the prediction for an image. */
    fun ask(pixels: ByteArray): Prediction {
        val number = System.nanoTime()
        loop.show(number, pixels)
        while (true) {
            val answer = checkNotNull(predictions.poll(20, TimeUnit.SECONDS)) { "no prediction" }
            if (answer.frame == number) return answer
        }
    }

    /** Return the share of fresh images of a kind that are predicted as a class. */
    fun shareOf(kind: Int, name: String, seed: Int = 77): Double =
        imagesOf(kind, 20, seed).count { ask(it).shown.best.name == name } / 20.0

    /** Wait until all that was taught is learned, measured and saved. */
    fun awaitRest() = await("all is learned") { loop.snapshot?.isSettled == true }

    override fun close() {
        loop.close()
        memory.close()
        spool.close()
    }
}

/** Wait until something is so; fail after twenty seconds. */
fun await(what: String, isSo: () -> Boolean) {
    val deadline = System.nanoTime() + 20_000_000_000
    while (!isSo()) {
        assertTrue(System.nanoTime() < deadline, "not within 20 s: $what")
        Thread.sleep(10)
    }
}
