"""Training: augmentation, matching, losses, distillation and the loop. Needs torch."""
