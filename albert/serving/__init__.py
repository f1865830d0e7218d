"""The models of inference over HTTP."""
