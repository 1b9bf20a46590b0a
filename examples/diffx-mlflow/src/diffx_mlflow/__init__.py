"""An extension of diffx that keeps training runs in MLflow: extensions=mlflow."""
