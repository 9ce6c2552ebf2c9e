/** The classes that the early exit knows, with their examples; a class's images can be deleted. */
package org.hiertk.demo.ui

import android.app.AlertDialog
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter
import android.widget.Button
import android.widget.ListView
import android.widget.TextView
import org.hiertk.core.view.ClassLine
import org.hiertk.demo.R

class ClassesScreen(private val stage: Stage, parent: ViewGroup) : Screen {
    override val view: View = stage.activity.layoutInflater.inflate(R.layout.screen_classes, parent, false)
    private val complaint: TextView = view.part(R.id.complaint)
    private val rows = Rows()
    private var classes: List<ClassLine> = emptyList()
    private var dialog: AlertDialog? = null

    init {
        val list = view.part<ListView>(R.id.classes)
        list.adapter = rows
        list.emptyView = view.part(R.id.none)
        view.part<View>(R.id.back).setOnClickListener { stage.go(Place.MAIN) }
    }

    override fun show() {
        complaint.say(stage.phone.complaint)
        complaint.isThere(stage.phone.complaint.isNotEmpty())
        val newest = stage.phone.device?.screen?.classes ?: return
        if (newest == classes) return
        classes = newest
        rows.notifyDataSetChanged()
    }

    override fun leave() {
        dialog?.dismiss()
    }

    private fun ask(line: ClassLine) {
        dialog = AlertDialog.Builder(stage.activity)
            .setTitle(stage.activity.getString(R.string.class_delete_title, line.name))
            .setMessage(R.string.class_delete_text)
            .setNegativeButton(R.string.cancel, null)
            .setPositiveButton(R.string.delete) { _, _ ->
                stage.phone.trying { stage.phone.device?.forget(line.slot) }
            }
            .show()
    }

    private inner class Rows : BaseAdapter() {
        override fun getCount() = classes.size

        override fun getItem(position: Int) = classes[position]

        override fun getItemId(position: Int) = classes[position].slot.toLong()

        override fun hasStableIds() = true

        override fun getView(position: Int, old: View?, parent: ViewGroup): View {
            val row = old ?: stage.activity.layoutInflater.inflate(R.layout.item_class, parent, false)
            fill(row, classes[position])
            return row
        }
    }

    private fun fill(row: View, line: ClassLine) {
        val resources = stage.activity.resources
        val formats = stage.words.formats
        val quantity = line.examples.coerceAtMost(Int.MAX_VALUE.toLong()).toInt()
        row.part<TextView>(R.id.class_name).say(line.name)
        row.part<TextView>(R.id.class_images).say(
            resources.getQuantityString(
                R.plurals.class_images, quantity, formats.count(line.examples), formats.count(line.kept.toLong()),
            )
        )
        row.part<TextView>(R.id.class_accuracy).say(accuracyOf(line))
        row.part<View>(R.id.class_new).isThere(line.isProvisional)
        row.part<View>(R.id.class_unknown).isThere(!line.isKnown)
        val delete = row.part<Button>(R.id.class_delete)
        delete.isThere(line.canDelete)
        delete.contentDescription = resources.getString(R.string.class_delete_description, line.name)
        delete.setOnClickListener { ask(line) }
    }

    private fun accuracyOf(line: ClassLine): String {
        val formats = stage.words.formats
        val measured = formats.count(line.measured.toLong())
        return if (line.measured == 0) stage.activity.getString(R.string.class_not_measured) else
            stage.activity.resources.getQuantityString(
                R.plurals.class_accuracy, line.measured, formats.percent(line.accuracy), measured,
            )
    }
}
