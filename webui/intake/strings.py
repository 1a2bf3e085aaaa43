"""Words that the modules put together while the page runs; everything else stands in the templates."""

from __future__ import annotations

from flask_babel import gettext as _


def page_strings() -> dict[str, str]:
    """Texts by the name the modules know; {n} and the like are filled in the browser."""
    return {**_check_strings(), **_room_strings(), **_saved_strings(), **_problem_strings()}


def _check_strings() -> dict[str, str]:
    return {
        "greeting": _("Hello {name}. Let us see that everything works."),
        "browser_ok": _("This browser can record."),
        "browser_fail": _("This browser cannot record."),
        "camera_asking": _("Please allow the camera and the microphone."),
        "camera_ok": _("The camera works ({width} × {height})."),
        "camera_small": _("The picture is small ({width} × {height}); another camera would be better."),
        "camera_denied": _("The camera is not allowed."),
        "camera_missing": _("No camera was found."),
        "camera_busy": _("Another program is using the camera."),
        "camera_other": _("The camera did not start."),
        "camera_waits": _("The camera starts together with the microphone."),
        "microphone_denied": _("The microphone is not allowed."),
        "microphone_missing": _("No microphone was found."),
        "microphone_waits": _("Waiting for the camera first."),
        "microphone_speak": _("Please say a few words."),
        "microphone_listen": _("We hear you. Now play the test sound."),
        "microphone_silent": _("You heard the sound; now please say a few words."),
        "microphone_ok": _("Microphone and sound work."),
        "microphone_unheard": _("We hear you, but you did not hear the sound. You can go on."),
        "network_measuring": _("Measuring…"),
        "network_ok": _("The network is fast enough ({ms} ms)."),
        "network_slow": _("The network is slow. You can go on: nothing is lost, uploading takes longer."),
        "network_fail": _("The network does not answer."),
        "trial_recording": _("Recording for 5 seconds. Please say something."),
        "trial_done": _("This is how you look and sound. It has not been sent to anyone."),
        "screen_needed": _(
            "This interview needs your screen as well. Please press again and choose what to share."
        ),
    }


def _room_strings() -> dict[str, str]:
    return {
        "question_of": _("Question {k} of {n}"),
        "phase_think": _("Time to think"),
        "phase_answer": _("Your answer"),
        "phase_over": _("Time is up. Your answer is kept; please go on."),
        "elapsed": _("Recording {time} / {total}"),
        "start_answer": _("Start answering"),
        "next": _("Next question"),
        "finish": _("Finish the interview"),
        "try_again": _("Try again"),
        "question_coming": _("Your question is on its way…"),
        "one_moment": _("One moment, please…"),
        "think_left": _("{n} seconds left to think"),
        "answer_left": _("{n} seconds left to answer"),
        "marked": _("Marked at {time}"),
        "note_typing": _("Not saved yet…"),
        "note_kept": _("Note saved, encrypted"),
        "hide_picture": _("Hide my picture"),
        "show_picture": _("Show my picture"),
        "camera_lost": _("The camera has stopped. What was recorded before is kept."),
        "screen_refused": _("Your screen is not shared."),
        "resumed": _(
            "The page was reloaded. You are back at your question and recording goes on. What was recorded "
            "before is kept, except for the last moment before the reload (up to 2 seconds)."
        ),
        "resumed_offline": _(
            "The page was reloaded without a network. You are back at your question and recording goes on; "
            "it is sent as soon as the network is back."
        ),
    }


def _saved_strings() -> dict[str, str]:
    return {
        "saved": _("Saved"),
        "saved_uploading": _("Uploading {n} pieces"),
        "saved_offline": _("Offline since {time}, nothing is lost ({n} pieces wait here)"),
        "saved_refused": _("Uploading has stopped; what you recorded is kept here"),
        "saved_trouble": _(
            "This browser cannot read what waits to be sent. It is kept here and tried again."
        ),
        "saved_aside": _(
            "A part recorded here was not taken and is kept in this browser; "
            "please tell the person who invited you"
        ),
        "status_received": _("Received completely. It is waiting to be sealed in the vault."),
        "status_partial": _("Received, except for a part. It is waiting to be sealed in the vault."),
        "status_sealed": _("Received and sealed in the vault. Nobody can change it any more."),
        "analysis_granted": _("You agreed to analysis by programs."),
        "analysis_not": _("No analysis by programs."),
        "withdrawn": _("Your consent to analysis is withdrawn."),
    }


def _problem_strings() -> dict[str, str]:
    return {
        "problem_unsupported_title": _("This browser cannot record"),
        "problem_unsupported": _(
            "Please open the link in a current Chrome, Edge or Safari, directly and not inside another app. "
            "Nothing was started, so the link still works there."
        ),
        "problem_no_secret_title": _("Please open the link in your mail"),
        "problem_no_secret": _(
            "The address is not complete. Open the link exactly as it stands in your mail."
        ),
        "problem_unknown_link_title": _("This link is not valid"),
        "problem_unknown_link": _("Please open the link exactly as it stands in the latest mail from us."),
        "problem_bound_elsewhere_title": _("A fresh link is on its way by mail"),
        "problem_bound_elsewhere": _(
            "This interview was begun in another browser. If that was you, you can go on there. "
            "To go on here, please open the fresh link that we have just sent to you. Nothing is lost."
        ),
        "problem_superseded_title": _("The interview goes on in another browser"),
        "problem_superseded": _(
            "A newer link is in use. What was recorded here is still being sent; please leave this page open "
            "for a moment."
        ),
        "problem_replaced_title": _("There is a newer link"),
        "problem_replaced": _("This link has been replaced. Please open the latest mail from us."),
        "problem_expired_title": _("The time for this interview is over"),
        "problem_expired": _("Please write to the person who invited you; they can send you a new link."),
        "problem_finished_title": _("This interview is finished"),
        "problem_finished": _("Everything has been received. There is nothing more to do."),
        "problem_sealed_title": _("This interview is closed"),
        "problem_sealed": _("It has been received and sealed. Nothing more can be added."),
        "problem_full_title": _("We cannot take new recordings at the moment"),
        "problem_full": _(
            "The company's storage is full. Please try again in a few minutes; your link stays valid."
        ),
        "problem_offline_title": _("The network does not answer"),
        "problem_offline": _(
            "Please check your network and try again. What was recorded is kept in this browser."
        ),
        "problem_camera_title": _("The camera is needed to go on"),
        "problem_camera": _("Please allow the camera and the microphone for this page, then try again."),
        "problem_other_tab_title": _("This interview is open in another tab"),
        "problem_other_tab": _("Please go on there, or close that tab and try again here."),
        "problem_chunks_missing_title": _("Some pieces could not be sent"),
        "problem_chunks_missing": _(
            "Your answers are kept in this browser. Please try again; if it stays like this, write to the "
            "person who invited you and keep this browser as it is."
        ),
        "problem_page_title": _("A part of this page has stopped"),
        "problem_page": _(
            "What was recorded is kept in this browser. Please go on; if the page no longer answers, "
            "reload it: you come back to the same place."
        ),
        "problem_other_title": _("This step did not work"),
        "problem_other": _(
            "What was recorded is kept. Please try again, or write to the person who invited you ({code})."
        ),
    }
