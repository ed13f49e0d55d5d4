"""Batch renormalization (https://arxiv.org/abs/1702.03275) built on PyTorch's fused batch normalization."""

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch.nn import functional as F


class FusedBatchRenorm(BatchRenorm1d):
    """
    Faster version of sb3-contrib's ``BatchRenorm1d``, with the same arguments and state.

    Renormalization applies an affine map with constant coefficients to the output of batch normalization. It is merged with
    the learned affine map, so that the batch is read as often as in plain batch normalization.

    Example::

        >>> import torch as th
        >>> FusedBatchRenorm(2)(th.tensor([[0.0, 5.0], [2.0, 5.0]])).detach().round(decimals=2)
        tensor([[-1.,  0.],
                [ 1.,  0.]])
    """

    def forward(self, x: th.Tensor) -> th.Tensor:
        """
        Normalize the input, and update the running statistics in training mode.

        :param x: ``[batch, num_features]``
        :return: normalized input ``[batch, num_features]``
        """
        mean, var, steps = self.ra_mean, self.ra_var, self.steps
        assert isinstance(mean, th.Tensor) and isinstance(var, th.Tensor) and isinstance(steps, th.Tensor)
        if not self.training:
            return F.batch_norm(x, mean, var, self.scale, self.bias, training=False, eps=self.eps)
        normalized, batch_mean, inverse_std = th.native_batch_norm(x, None, None, None, None, True, 0.0, self.eps)
        with th.no_grad():
            batch_var = inverse_std.pow(-2) - self.eps
            running_std = (var + self.eps).sqrt()
            warmed_up = steps > self.warmup_steps
            scale = ((batch_var + self.eps).sqrt() / running_std).clamp(1.0 / self.rmax, self.rmax)
            shift = ((batch_mean - mean) / running_std).clamp(-self.dmax, self.dmax)
            # `where` instead of a branch: reading the step counter on the host would synchronize with the GPU.
            scale, shift = th.where(warmed_up, scale, 1.0), th.where(warmed_up, shift, 0.0)
            mean.lerp_(batch_mean, self.momentum)
            # The running variance is the unbiased estimate, as in PyTorch's batch normalization.
            var.lerp_(batch_var * (len(x) / max(len(x) - 1, 1)), self.momentum)
            steps += 1
        return th.addcmul(shift * self.scale + self.bias, normalized, scale * self.scale)
