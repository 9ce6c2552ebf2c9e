package org.hiertk.core

import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

class FilesTest {
    @TempDir
    lateinit var folder: Path

    private fun names() = folder.toFile().list().orEmpty().sorted()

    @Test
    fun `a file is written, and another one takes its place`() {
        val target = folder.resolve("deep/below/state.json")
        writeAtomically(target, byteArrayOf(1, 2))
        writeAtomically(target, byteArrayOf(3))
        assertContentEquals(byteArrayOf(3), Files.readAllBytes(target))
        assertEquals(listOf("state.json"), target.parent.toFile().list().orEmpty().toList())
    }

    @Test
    fun `where writing fails the old file stays, and nothing else`() {
        val target = folder.resolve("state")
        writeAtomically(target, byteArrayOf(1))
        val error = assertFailsWith<StorageException> {
            writeAtomically(target) {
                it.write(ByteArray(100_000))
                throw IOException("No space left on device")
            }
        }
        assertEquals("cannot write $target: No space left on device: is the storage full?", error.message)
        assertContentEquals(byteArrayOf(1), Files.readAllBytes(target))
        assertEquals(listOf("state"), names())
    }

    @Test
    fun `a file that cannot be is a storage error`() {
        writeAtomically(folder.resolve("plain"), byteArrayOf())
        assertFailsWith<StorageException> { writeAtomically(folder.resolve("plain/below"), byteArrayOf()) }
    }

    @Test
    fun `what a crash has left is overwritten`() {
        val target = folder.resolve("state")
        Files.write(temporaryOf(target), ByteArray(1000))
        writeAtomically(target, byteArrayOf(7))
        assertEquals(listOf("state"), names())
    }

    @Test
    fun `a folder takes another one's place as a whole`() {
        val target = folder.resolve("bundle")
        writeFolderAtomically(target) { Files.write(it.resolve("old"), byteArrayOf(1)) }
        Files.createDirectories(temporaryOf(target).resolve("left by a crash"))
        writeFolderAtomically(target) { Files.write(Files.createDirectories(it.resolve("in")).resolve("new"), byteArrayOf(2)) }
        assertEquals(listOf("bundle"), names())
        assertEquals(listOf("in"), target.toFile().list().orEmpty().toList())
    }

    @Test
    fun `where filling a folder fails the old one stays`() {
        val target = folder.resolve("bundle")
        writeFolderAtomically(target) { Files.write(it.resolve("old"), byteArrayOf(1)) }
        assertFailsWith<BundleException> {
            writeFolderAtomically(target) {
                Files.write(it.resolve("new"), byteArrayOf(2))
                throw BundleException("damaged")
            }
        }
        assertEquals(listOf("bundle"), names())
        assertTrue(Files.exists(target.resolve("old")))
    }

    @Test
    fun `deleting a tree follows no link`() {
        val outside = Files.write(folder.resolve("outside"), byteArrayOf(1))
        val tree = Files.createDirectories(folder.resolve("tree/deep"))
        Files.createSymbolicLink(tree.resolve("link"), outside)
        Files.createSymbolicLink(tree.resolve("folder link"), folder)
        deleteTree(folder.resolve("tree"))
        deleteTree(folder.resolve("never there"))
        assertEquals(listOf("outside"), names())
    }

    @Test
    fun `reading is bounded`() {
        val file = Files.write(folder.resolve("file"), ByteArray(10))
        assertEquals(10, readBounded(file, 10).size)
        assertEquals("more than 9 bytes", assertFailsWith<IOException> { readBounded(file, 9) }.message)
        assertEquals("not a plain file", assertFailsWith<IOException> { readBounded(folder, 9) }.message)
        val missing = assertFailsWith<IOException> { readBounded(folder.resolve("none"), 9) }
        assertEquals("no such file", reasonOf(missing))
        assertFalse(reasonOf(missing).contains("/"))
    }
}
