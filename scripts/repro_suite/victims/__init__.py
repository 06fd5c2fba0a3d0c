"""The programs that run under the interpreter under test; none of them imports the driver."""
