"""What operators ask and do: views of jobs and queues, the filter language, why a job is not running."""
