"""Batch renormalisation (https://arxiv.org/abs/1702.03275) in as few passes over the batch as batch normalisation takes."""

import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm1d
from torch.nn import functional as F


class FusedBatchRenorm(BatchRenorm1d):
    """
    sb3-contrib's ``BatchRenorm1d``, with the same arguments and state, out of PyTorch's fused batch normalisation.

    Renormalising by running statistics is an affine map of what batch normalisation gives, whose coefficients carry no
    gradient; so it is folded into the affine map that is learned.

    Example::

        >>> import torch as th
        >>> FusedBatchRenorm(2)(th.tensor([[0.0, 5.0], [2.0, 5.0]])).detach().round(decimals=2)
        tensor([[-1.,  0.],
                [ 1.,  0.]])
    """

    def forward(self, x: th.Tensor) -> th.Tensor:
        """
        :param x: of shape ``[batch, num_features]``
        :return: the same, normalised
        """
        mean, var, steps = self.ra_mean, self.ra_var, self.steps
        assert isinstance(mean, th.Tensor) and isinstance(var, th.Tensor) and isinstance(steps, th.Tensor)
        if not self.training:
            return F.batch_norm(x, mean, var, self.scale, self.bias, training=False, eps=self.eps)
        normalised, batch_mean, inverse_std = th.native_batch_norm(x, None, None, None, None, True, 0.0, self.eps)
        with th.no_grad():
            batch_var = inverse_std.pow(-2) - self.eps
            running_std = (var + self.eps).sqrt()
            settled = steps > self.warmup_steps
            scale = ((batch_var + self.eps).sqrt() / running_std).clamp(1.0 / self.rmax, self.rmax)
            shift = ((batch_mean - mean) / running_std).clamp(-self.dmax, self.dmax)
            # No branch: asking a GPU for the number of steps would make everything wait for the answer.
            scale, shift = th.where(settled, scale, 1.0), th.where(settled, shift, 0.0)
            mean.lerp_(batch_mean, self.momentum)
            # As PyTorch does, the variance of the population from that of the batch.
            var.lerp_(batch_var * (len(x) / max(len(x) - 1, 1)), self.momentum)
            steps += 1
        return th.addcmul(shift * self.scale + self.bias, normalised, scale * self.scale)
