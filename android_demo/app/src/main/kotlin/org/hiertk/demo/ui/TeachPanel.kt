/** Teaching: a name, a button that is held, and undo. */
package org.hiertk.demo.ui

import android.Manifest
import android.annotation.SuppressLint
import android.content.pm.PackageManager
import android.os.Build
import android.text.Editable
import android.text.TextWatcher
import android.view.MotionEvent
import android.view.View
import android.widget.ArrayAdapter
import android.widget.AutoCompleteTextView
import android.widget.Button
import android.widget.TextView
import org.hiertk.core.view.NameCheck
import org.hiertk.core.view.TeachState
import org.hiertk.core.view.checkName
import org.hiertk.demo.R

private const val REQUEST = 2

/** root: a view with panel_teach.xml inside. */
class TeachPanel(root: View, private val stage: Stage) {
    private val name: AutoCompleteTextView = root.part(R.id.name)
    private val nameWords: TextView = root.part(R.id.name_words)
    private val button: Button = root.part(R.id.teach)
    private val undo: Button = root.part(R.id.undo)
    private val status: TextView = root.part(R.id.teach_status)
    private var known: List<String> = emptyList()
    private var isCapturing = false

    init {
        name.setText(stage.phone.draft)
        name.addTextChangedListener(Typing())
        check()
        listenToButton()
        undo.setOnClickListener { stage.phone.device?.undo() }
    }

    /** Show what teaching does; names: of all classes. */
    fun show(teach: TeachState, names: List<String>) {
        val isCapturing = teach is TeachState.Capturing
        if (this.isCapturing && !isCapturing) button.isPressed = false // a click does not let go
        this.isCapturing = isCapturing
        undo.isThere(teach is TeachState.Captured)
        status.say(stage.words.teach(teach))
        if (names != known) {
            known = names
            name.setAdapter(ArrayAdapter(stage.activity, android.R.layout.simple_dropdown_item_1line, names))
            check()
        }
    }

    /**
     * Fingers hold it. A screen reader and a keyboard click: then all images of a capture are taken.
     *
     * The click of fingers is not wanted, so what lint asks for is not done here.
     */
    @SuppressLint("ClickableViewAccessibility")
    private fun listenToButton() {
        button.setOnTouchListener { _, event ->
            when (event.actionMasked) {
                MotionEvent.ACTION_DOWN -> press()
                MotionEvent.ACTION_UP, MotionEvent.ACTION_CANCEL -> release()
            }
            true
        }
        button.setOnClickListener { if (isCapturing) release() else press() }
    }

    private fun press() {
        button.isPressed = true
        button.parent.requestDisallowInterceptTouchEvent(true) // a finger that moves a little does not scroll
        stage.phone.trying { stage.phone.device?.press(stage.phone.draft) }
    }

    private fun release() {
        button.isPressed = false
        stage.phone.device?.release()
        askForNotifications()
    }

    private fun check() {
        val check = checkName(stage.phone.draft, known)
        button.isEnabled = check is NameCheck.Usable
        val words = when (check) {
            is NameCheck.Usable -> if (check.isNew) stage.activity.getString(R.string.name_new, check.name) else ""
            is NameCheck.Unusable -> check.line
            is NameCheck.Empty -> ""
        }
        nameWords.say(words)
        nameWords.isThere(words.isNotEmpty())
    }

    /** Learning that goes on after the app is left is told there; who refuses loses nothing else. */
    private fun askForNotifications() {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.TIRAMISU || stage.phone.preferences.askedForNotifications) return
        stage.phone.preferences.askedForNotifications = true
        val permission = Manifest.permission.POST_NOTIFICATIONS
        if (stage.activity.checkSelfPermission(permission) != PackageManager.PERMISSION_GRANTED) {
            stage.activity.requestPermissions(arrayOf(permission), REQUEST)
        }
    }

    private inner class Typing : TextWatcher {
        override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

        override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

        override fun afterTextChanged(text: Editable?) {
            stage.phone.draft = text?.toString().orEmpty()
            check()
        }
    }
}
