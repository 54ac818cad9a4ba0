"""What a person reads after training or measuring: tables, HTML, what to photograph, accuracy of advice and colour."""
