package org.hiertk.core.classes

import org.hiertk.core.ConfigException
import org.hiertk.core.ProtocolException
import org.hiertk.core.StorageException
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class DeviceClassesTest {
    @TempDir
    lateinit var folder: Path

    private val exported = ExportedClasses("ab".repeat(32), listOf("cat", "dog"), capacity = 6)
    private val registry = Registry(exported.names, capacity = 6)

    @Test
    fun `a new class has the highest free slot at once, and after a restart`() {
        val classes = open()
        assertEquals(5, classes.nameNew("hen"))
        assertEquals(4, classes.nameNew(" ox "))
        assertEquals(5, classes.nameNew("hen"))
        assertEquals(1, classes.nameNew("dog"))
        assertEquals(classes.table, open().table)
        assertEquals(listOf("cat", "dog", "ox", "hen"), open().table.names)
        assertEquals(mapOf(5 to "hen", 4 to "ox"), open().table.wire.provisional)
    }

    @Test
    fun `a provisional class moves to the slot that the cloud gives it`() {
        val classes = open()
        classes.nameNew("hen")
        registry.add("hen")
        assertEquals(mapOf<Int, Int?>(5 to 2), classes.follow(registry.map))
        assertEquals(2, open().table.slotOf("hen"))
        assertEquals(2, classes.version)
        assertTrue(classes.provisional.isEmpty())
    }

    @Test
    fun `a provisional class makes way for another class that gets its slot`() {
        val classes = open()
        classes.nameNew("hen")
        listOf("a", "b", "c", "d").forEach(registry::add)
        registry.retire("a")
        assertEquals(mapOf<Int, Int?>(5 to 2), classes.follow(registry.map))
        assertEquals("d", classes.table.nameOf(5))
    }

    @Test
    fun `a provisional class that finds no slot any more is given up, and that is told`() {
        val classes = open()
        classes.nameNew("hen")
        listOf("a", "b", "c", "d").forEach(registry::add)
        assertEquals(mapOf<Int, Int?>(5 to null), classes.follow(registry.map))
        assertTrue("'hen'" in classes.problems.single())
    }

    @Test
    fun `a confirmed version is one that the stores have followed`() {
        val classes = open()
        registry.add("hen")
        classes.follow(registry.map)
        assertEquals(1, classes.confirmed)
        classes.confirm(classes.table)
        assertEquals(2, classes.confirmed)
    }

    @Test
    fun `an older map and one of a registry that was begun anew are ignored, and that is told`() {
        val classes = open()
        listOf("hen", "ox").forEach(registry::add)
        classes.follow(registry.map)
        val before = classes.table
        val anew = Registry(exported.names, capacity = 6).apply {
            retire("cat")
            listOf("emu", "cow").forEach(::add)
        }
        assertEquals(emptyMap(), classes.follow(exportedMap(exported.names)))
        assertEquals(emptyMap(), classes.follow(anew.map))
        assertEquals(before, classes.table)
        assertEquals(2, classes.ignored)
        assertTrue("begun anew" in classes.problems.single())
        registry.add("elk")
        classes.follow(registry.map)
        assertTrue(classes.problems.isEmpty())
    }

    @Test
    fun `without room a name is refused, and the reason says which room`() {
        val classes = open()
        repeat(4) { classes.nameNew("new $it") }
        val full = assertFailsWith<ConfigException> { classes.nameNew("one more") }
        assertTrue("6 class slots" in full.message.orEmpty())
        val wide = DeviceClasses.open(folder.resolve("wide.json"), exported.copy(capacity = 100))
        repeat(MOST_PROVISIONAL) { wide.nameNew("new $it") }
        val waiting = assertFailsWith<ConfigException> { wide.nameNew("one more") }
        assertTrue("connect" in waiting.message.orEmpty())
        assertFailsWith<ProtocolException> { wide.nameNew("a\tb") }
    }

    @Test
    fun `a disk that refuses leaves the classes as they were`() {
        val classes = open()
        classes.nameNew("hen")
        val before = classes.table
        Files.createDirectories(folder.resolve(".classes.json.tmp/occupied"))
        registry.add("hen")
        assertFailsWith<StorageException> { classes.nameNew("ox") }
        assertFailsWith<StorageException> { classes.follow(registry.map) }
        assertEquals(before, classes.table)
        assertEquals(before, open().table)
    }

    @Test
    fun `a damaged file is set aside, and what the stores know is opened anew`() {
        val known = open().run {
            nameNew("hen")
            table.bySlot
        }
        val file = folder.resolve("classes.json")
        val whole = Files.readAllBytes(file)
        for (size in listOf(0, 1, whole.size / 2, whole.size - 1)) {
            Files.write(file, whole.copyOf(size))
            val classes = open()
            assertEquals(exported.names, classes.table.names)
            classes.adopt(known.values)
            assertEquals(5, classes.table.slotOf("hen"))
        }
        assertTrue(Files.exists(folder.resolve("classes.json.damaged")))
    }

    @Test
    fun `another bundle takes the provisional names alone, a grown one all`() {
        registry.add("emu")
        open().apply {
            follow(registry.map)
            nameNew("hen")
        }
        val file = folder.resolve("classes.json")
        val copy = Files.readAllBytes(file)
        val other = DeviceClasses.open(file, ExportedClasses("cd".repeat(32), listOf("a"), capacity = 4))
        assertEquals(listOf("a", "hen"), other.table.names)
        assertEquals(1, other.version)
        Files.write(file, copy)
        val grown = exported.copy(bundleId = "cd".repeat(32), capacity = 9, ancestors = setOf(exported.bundleId))
        assertEquals(listOf("cat", "dog", "emu", "hen"), DeviceClasses.open(file, grown).table.names)
        assertEquals(2, DeviceClasses.open(file, grown).version)
    }

    private fun open() = DeviceClasses.open(folder.resolve("classes.json"), exported)
}
