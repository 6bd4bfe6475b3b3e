"""Work beside the caller: processes that may crash, and a thread that reads ahead."""
