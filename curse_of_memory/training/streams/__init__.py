"""Training on one long text in rows, through which the state of a model is handed on."""
