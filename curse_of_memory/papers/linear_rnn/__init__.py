"""Curse of memory (Li, Han, E & Li, 2009.07799): what linear RNNs approximate, and how long they train."""
