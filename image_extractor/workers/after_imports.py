"""Imported last by the process that workers are forked from."""

from .start_up import end

end()
