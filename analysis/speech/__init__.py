"""Speech: where somebody speaks, and what they say. Engines are plug-ins behind `engine.SpeechEngine`."""
