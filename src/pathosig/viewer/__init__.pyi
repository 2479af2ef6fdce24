from .app import create_app as create_app
from .server import RunningViewer as RunningViewer
from .server import serve_viewer as serve_viewer
from .server import start_viewer as start_viewer
from .server import view as view
