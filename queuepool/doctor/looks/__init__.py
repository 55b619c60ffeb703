"""Looking: every module here asks one part of the world and gives facts/. Nothing is judged here, or changed."""
