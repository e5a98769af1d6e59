"""The model organism: a tiny MoE, trained by us on a world written in four scripts, that shows a script barrier."""
