"""One module per paper, or per figure where one takes a module; each computes, and draws."""
