echo "serving nobody: a task"
