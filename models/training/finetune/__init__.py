"""Fine-tuning: adapting the backbone to the operator's catalogue, as new weights beside those in use."""
