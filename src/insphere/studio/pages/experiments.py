"""Later."""
from nicegui import ui
from insphere.studio.frame import frame
def register(studio):
    @ui.page("/experiments")
    def show() -> None:
        with frame(studio, "experiments", "/experiments"):
            ui.label("experiments")
