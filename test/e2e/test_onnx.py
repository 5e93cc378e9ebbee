"""ONNX models: node tests of the onnx package, one or two per family, through compile and run."""

import unittest
import warnings

import numpy as np

from harness import command, new_path

try:
    import onnx
    from onnx.backend.test.loader import load_model_tests
except ModuleNotFoundError as error:
    raise unittest.SkipTest(f"onnx is not installed: {error}") from None

NAMES = """add_bcast div_uint8 pow_types_float32_int64 mod_mixed_sign_int64 where_example clip_default_int8_min
gelu_tanh_1 softplus hardswish selu prelu_broadcast
reshape_negative_dim transpose_all_permutations_3 slice_neg_steps slice_default_axes split_equal_parts_1d_opset18
concat_3d_axis_negative_2 expand_dim_changed tile reflect_pad constant_pad tril_pos depthtospace_example
reduce_mean_keepdims_random reduce_l2_do_not_keepdims_example reduce_max_negative_axes_keepdims_random
argmax_keepdims_random_select_last_index cumsum_2d_axis_0 softmax_axis_1 logsoftmax_large_number
matmul_3d gemm_all_attributes einsum_batch_matmul matmulinteger
basic_conv_with_padding conv_with_autopad_same averagepool_2d_pads maxpool_2d_dilations
layer_normalization_3d_axis1_epsilon rms_normalization_2d_axis0 group_normalization_example batchnorm_example
cast_FLOAT_to_FLOAT8E4M3FN cast_FLOAT_to_UINT4 cast_INT4_to_FLOAT quantizelinear_axis dequantizelinear_e5m2
gather_negative_indices gather_elements_1
attention_4d_causal attention_3d_gqa_with_past_and_present attention_4d_attn_mask_bool_4d attention_4d_softcap_neginf_mask
attention_4d_with_qk_matmul_softmax attention_local_window attention_4d_gqa_causal_nonpad_decode
attention_3d_with_past_and_present_qk_matmul_softcap_expanded flexattention_soft_cap rotary_embedding_interleaved
linear_attention_delta causal_conv_with_state_silu_with_past_state
lstm_with_peepholes lstm_bidirectional gru_seq_length gru_batchwise rnn_seq_length simple_rnn_reverse
if scan9_sum scan_sum range_float_type_positive_delta_expanded
nllloss_NCd1d2_with_weight_reduction_sum sce_mean_weight_ii_3d_log_prob adam momentum_multiple adagrad
layer_normalization_2d_axis_negative_1_expanded reduce_l2_do_not_keepdims_example_expanded hannwindow_expanded
batchnorm_example_training_mode optional_has_element_empty_no_input_name_tensor_input""".split()


def as_file_array(array):
    """Types that numpy lacks are their bits."""
    array = onnx.numpy_helper.to_array(array) if isinstance(array, onnx.TensorProto) else np.asarray(array)
    known = array.dtype.kind in "biufc" and array.dtype.name.startswith(("bool", "int", "uint", "float", "complex"))
    plain = known and not array.dtype.name.startswith(("float8", "float4", "int4", "uint4", "int2", "uint2"))
    return array if plain else array.view(f"u{array.dtype.itemsize}")


class Onnx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            cls.cases = {case.name: case for case in load_model_tests(kind="node")}

    def test_nodes(self):
        for name in NAMES:
            case = self.cases.get("test_" + name)
            if case is None:  # other versions of onnx name some cases differently
                continue
            with self.subTest(name):
                self.run_case(case)

    def run_case(self, case):
        model, artifact = new_path(".onnx"), new_path(".tenon")
        onnx.save(case.model, model)
        status, text = command("compile", model, "-o", artifact, "--quiet")
        self.assertEqual(status, 0, text)
        for inputs, wanted in case.data_sets:
            arguments, outputs = [], []
            for value in inputs:
                path = new_path(".npy")
                np.save(path, as_file_array(value))
                arguments.append(f"--input=@{path}")
            for _ in wanted:
                outputs.append(new_path(".npy"))
                arguments.append(f"--output=@{outputs[-1]}")
            status, text = command("run", artifact, *arguments)
            self.assertEqual(status, 0, text)
            for path, want in zip(outputs, wanted):
                got = np.load(path)
                want = as_file_array(want)
                self.assertEqual((got.shape, got.dtype), (want.shape, want.dtype))
                np.testing.assert_allclose(got, want, rtol=max(case.rtol, 1e-5), atol=max(case.atol, 1e-6))
