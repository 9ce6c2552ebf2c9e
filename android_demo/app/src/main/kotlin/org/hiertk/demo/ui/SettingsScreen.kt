/** What the link may take, the pairing, the bundle, and forgetting everything. */
package org.hiertk.demo.ui

import android.app.AlertDialog
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.view.ViewGroup
import android.widget.Button
import android.widget.EditText
import android.widget.Switch
import android.widget.TextView
import org.hiertk.core.link.LinkLimits
import org.hiertk.demo.Device
import org.hiertk.demo.R

private const val MEGABYTE = 1_000_000L
private const val MOST_MEGABYTES = 1_000_000L

class SettingsScreen(private val stage: Stage, parent: ViewGroup) : Screen {
    override val view: View = stage.activity.layoutInflater.inflate(R.layout.screen_settings, parent, false)
    private val wifiOnly: Switch = view.part(R.id.wifi_only)
    private val budget: EditText = view.part(R.id.budget)
    private val pairing: TextView = view.part(R.id.pairing)
    private val unpair: Button = view.part(R.id.unpair)
    private val code: EditText = view.part(R.id.code)
    private val complaint: TextView = view.part(R.id.complaint)
    private val bundle: TextView = view.part(R.id.bundle)
    private var shown: Device? = null
    private var dialog: AlertDialog? = null

    init {
        showLimits(stage.phone.preferences.limits)
        wifiOnly.setOnCheckedChangeListener { _, _ -> takeLimits() }
        budget.addTextChangedListener(Typing(::takeLimits))
        view.part<View>(R.id.back).setOnClickListener { stage.go(Place.MAIN) }
        view.part<View>(R.id.scan).setOnClickListener { stage.go(Place.SCAN) }
        view.part<View>(R.id.pair).setOnClickListener { pair() }
        view.part<View>(R.id.change_bundle).setOnClickListener { stage.chooseBundle() }
        view.part<View>(R.id.forget).setOnClickListener {
            ask(R.string.forget_title, R.string.forget_text) { stage.phone.forgetEverything() }
        }
        unpair.setOnClickListener {
            ask(R.string.pairing_end, R.string.pairing_end_text) { stage.phone.unpair() }
        }
    }

    override fun show() {
        complaint.say(stage.phone.complaint)
        complaint.isThere(stage.phone.complaint.isNotEmpty())
        val device = stage.phone.device ?: return
        if (device === shown) return
        shown = device
        showPairing(device)
        showBundle(device)
    }

    override fun leave() {
        dialog?.dismiss()
    }

    private fun showPairing(device: Device) {
        val paired = device.pairing
        val resources = stage.activity.resources
        pairing.say(
            if (paired == null) resources.getString(R.string.pairing_none)
            else resources.getString(R.string.pairing_done, paired.device, paired.host)
        )
        unpair.isThere(paired != null)
    }

    private fun showBundle(device: Device) {
        val manifest = device.bundle.manifest
        val model = manifest.model
        bundle.say(
            stage.activity.getString(
                R.string.bundle_text, model.name, model.split, model.splitCount, manifest.features.bits, manifest.bundleName,
            )
        )
    }

    private fun showLimits(limits: LinkLimits) {
        wifiOnly.isChecked = limits.wifiOnly
        budget.setText(if (limits.bytesPerDay == 0L) "" else (limits.bytesPerDay / MEGABYTE).toString())
    }

    /** Take what is there as soon as it makes sense; until then what was before counts. */
    private fun takeLimits() {
        val typed = budget.text.toString()
        val megabytes = if (typed.isBlank()) 0L else typed.toLongOrNull()
        val isUsable = megabytes != null && megabytes in 0..MOST_MEGABYTES && (megabytes > 0 || typed.isBlank())
        budget.error = if (isUsable) null else
            stage.activity.getString(R.string.budget_wrong, stage.words.formats.count(MOST_MEGABYTES))
        val bytes = if (isUsable) megabytes * MEGABYTE else stage.phone.preferences.limits.bytesPerDay
        stage.phone.limit(LinkLimits(bytes, wifiOnly.isChecked))
    }

    private fun pair() {
        stage.phone.trying { stage.phone.pair(code.text.toString()) }
        if (stage.phone.complaint.isEmpty()) code.setText("")
    }

    private fun ask(title: Int, text: Int, yes: () -> Unit) {
        dialog = AlertDialog.Builder(stage.activity)
            .setTitle(title)
            .setMessage(text)
            .setNegativeButton(R.string.cancel, null)
            .setPositiveButton(title) { _, _ -> yes() }
            .show()
    }

    private class Typing(private val changed: () -> Unit) : TextWatcher {
        override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

        override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

        override fun afterTextChanged(text: Editable?) = changed()
    }
}
