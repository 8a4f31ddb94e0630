"""Later."""
from nicegui import ui
from insphere.studio.frame import frame
def register(studio):
    @ui.page("/models")
    def show() -> None:
        with frame(studio, "models", "/models"):
            ui.label("models")
