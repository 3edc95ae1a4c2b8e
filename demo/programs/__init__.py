"""The programs of the story's pods: the two servers of Org B, each a process."""
