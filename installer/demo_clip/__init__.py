"""Makes the demo's interview: a drawn person answering three questions with a synthetic voice.

`python -m installer.demo_clip` writes webui/static/demo/. It films nobody: the picture is drawn here, the
voice is Flite's. The clip is committed, so only who changes it needs Flite (Debian: apt install flite).
"""
