"""Later."""
from nicegui import ui
from insphere.studio.frame import frame
def register(studio):
    @ui.page("/look")
    def show() -> None:
        with frame(studio, "look", "/look"):
            ui.label("look")
