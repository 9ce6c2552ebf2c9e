package org.hiertk.core
import org.junit.jupiter.api.Test
import kotlin.test.assertEquals
class ErrorsTest { @Test fun `an error says its line`() { assertEquals("a", BundleException("a").message) } }
