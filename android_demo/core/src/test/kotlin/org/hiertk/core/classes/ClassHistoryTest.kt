package org.hiertk.core.classes

import net.jqwik.api.ForAll
import net.jqwik.api.Property
import net.jqwik.api.constraints.Size
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ClassHistoryTest {
    private val names = listOf("ant", "bee", "cat", "dog", "elk", "fox")

    @Property(tries = 400)
    fun `sleeping through versions gives the table of who followed each`(@ForAll @Size(max = 25) changes: IntArray) {
        val first = ClassTable(exportedMap(names.take(3)), emptyMap(), capacity = 14)
            .withProvisional("new", 13).withProvisional("newer", 12).withProvisional("fox", 11)
        val registry = Registry(names.take(3), capacity = 14)
        var awake = first
        var asleep = first
        var places: Map<Int, Int?> = first.bySlot.keys.associateWith { it }
        var foxWasRegistered = false
        for (seed in changes) {
            change(registry, Random(seed))
            foxWasRegistered = foxWasRegistered || registry.map.find("fox") != null
            val next = awake.after(registry.map)
            val moves = next.moves(awake.bySlot)
            places = places.mapValues { (_, slot) -> slot?.let(moves::getValue) }
            awake = next
            if (Random(seed).nextInt(4) == 0) asleep = asleep.after(registry.map)
            assertNoSlotTwice(awake)
        }
        asleep = asleep.after(registry.map)
        assertNoSlotTwice(asleep)
        assertEquals(awake.map, asleep.map)
        // A name that was registered and retired while one slept goes on as a provisional one there.
        val lasting = if (foxWasRegistered) setOf("new", "newer") else setOf("new", "newer", "fox")
        assertEquals(awake.provisional.keys intersect lasting, asleep.provisional.keys intersect lasting)
        assertTrue(awake.provisional.keys.containsAll(lasting))
        val direct = asleep.moves(first.bySlot)
        for ((slot, one) in first.bySlot) {
            if (one.isProvisional && one.name !in lasting) continue
            assertEquals(places.getValue(slot)?.let(awake::nameOf), direct.getValue(slot)?.let(asleep::nameOf))
        }
    }

    private fun change(registry: Registry, random: Random) {
        when (random.nextInt(5)) {
            0, 1 -> registry.add(names.random(random))
            2 -> registry.merge(names.random(random), names.random(random))
            else -> registry.retire(names.random(random))
        }
    }

    private fun assertNoSlotTwice(table: ClassTable) {
        val slots = table.provisional.values
        assertEquals(slots.size, slots.toSet().size)
        assertTrue(slots.none { it in table.map.bySlot } && slots.all { it in 0 until table.capacity })
        assertTrue(table.provisional.keys.none { table.map.find(it) != null })
    }
}
