/** On a phone or an emulator, with a bundle built in: the phone's engine does the bundle's own first steps. */
package org.hiertk.demo

import androidx.test.ext.junit.runners.AndroidJUnit4
import androidx.test.platform.app.InstrumentationRegistry
import org.hiertk.core.bundle.Bundle
import org.hiertk.core.deleteTree
import org.hiertk.core.golden.GoldenSteps
import org.hiertk.demo.engine.openLearner
import org.hiertk.demo.store.AppFolders
import org.hiertk.demo.store.BundleStore
import org.hiertk.demo.store.Preferences
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Test
import org.junit.runner.RunWith

@RunWith(AndroidJUnit4::class)
class EngineTest {
    private val context = InstrumentationRegistry.getInstrumentation().targetContext

    @Test
    fun theFirstStepsAreTheReferencesOwn() {
        val bundle = builtIn()
        openLearner(bundle, null, THREADS).use(GoldenSteps(bundle)::verify)
    }

    @Test
    fun aCheckpointGoesOnWhereItWas() {
        val bundle = builtIn()
        val golden = GoldenSteps(bundle)
        val checkpoint = context.cacheDir.toPath().resolve("engine-test-checkpoint")
        try {
            openLearner(bundle, null, THREADS).use { learner ->
                learner.step(golden.images(0), golden.labels(0))
                learner.save(checkpoint)
                openLearner(bundle, checkpoint, THREADS).use { resumed ->
                    assertEquals(1L, resumed.edgeStep)
                    val images = golden.images(0)
                    assertEquals(learner.step(images, golden.labels(0)).loss, resumed.step(images, golden.labels(0)).loss, 0f)
                }
            }
        } finally {
            deleteTree(checkpoint)
        }
    }

    private fun builtIn(): Bundle {
        val bundle = BundleStore(context, AppFolders(context), Preferences(context)).current()
        assertNotNull("no bundle is built in: hiertk export ... --target android --install-into android_demo", bundle)
        return checkNotNull(bundle)
    }

    private companion object {
        const val THREADS = 1
    }
}
