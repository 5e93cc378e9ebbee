"""The runtime's C API through ctypes. Arrays are numpy; bfloat16 and the 8-bit floats are their bits in unsigned integers."""

import ctypes
import functools
import os

import numpy as np

from . import locate

c = ctypes


class _Error(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("status", c.c_int), ("message", c.c_char * 1016)]


class _Tensor(c.Structure):
    _fields_ = [("data", c.c_void_p), ("dims", c.POINTER(c.c_int64)), ("rank", c.c_uint32), ("dtype", c.c_int)]


class _OpenOptions(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("flags", c.c_uint32), ("allocator", c.c_void_p),
                ("variant", c.c_char_p), ("threads", c.c_uint32), ("device", c.c_char_p), ("cache", c.c_char_p)]


class _ProgramInfo(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("format_major", c.c_uint16), ("format_minor", c.c_uint16),
                ("name", c.c_char_p), ("producer", c.c_char_p), ("file_bytes", c.c_uint64), ("entries", c.c_uint32),
                ("states", c.c_uint32), ("variants", c.c_uint32), ("segments", c.c_uint32), ("weights", c.c_uint32),
                ("metadata", c.c_uint32), ("variant", c.c_uint32)]


class _VariantInfo(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("name", c.c_char_p), ("arch", c.c_char_p), ("features", c.c_uint32),
                ("image_segment", c.c_uint32), ("constants_segment", c.c_uint32), ("abi_major", c.c_uint16),
                ("abi_minor_needed", c.c_uint16), ("runs_here", c.c_uint32)]


class _EntryInfo(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("name", c.c_char_p), ("origin", c.c_char_p), ("inputs", c.c_uint32),
                ("outputs", c.c_uint32), ("symbols", c.c_uint32), ("states_read", c.c_uint32),
                ("states_written", c.c_uint32)]


class _TensorInfo(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("name", c.c_char_p), ("path", c.c_char_p), ("dtype", c.c_int),
                ("rank", c.c_uint32), ("role", c.c_int), ("optional", c.c_uint32)]


class _StateInfo(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("name", c.c_char_p), ("layout", c.c_char_p), ("dtype", c.c_int),
                ("rank", c.c_uint32), ("dims", c.POINTER(c.c_int64)), ("bytes", c.c_uint64),
                ("persistent", c.c_uint32)]


class _SessionOptions(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("flags", c.c_uint32), ("threads", c.c_uint32),
                ("reserve_count", c.c_uint32), ("pool", c.c_void_p), ("allocator", c.c_void_p),
                ("reserves", c.c_void_p), ("memory_limit", c.c_uint64)]


class _MemoryNeeds(c.Structure):
    _fields_ = [("struct_bytes", c.c_uint32), ("threads", c.c_uint32), ("arena_bytes", c.c_uint64),
                ("scratch_bytes", c.c_uint64), ("state_bytes", c.c_uint64), ("session_bytes", c.c_uint64),
                ("constants_bytes", c.c_uint64)]


_DTYPES = {1: "f8", 2: "f4", 3: "f2", 4: "u2", 5: "i8", 6: "i4", 7: "i2", 8: "i1", 9: "u1", 10: "?", 11: "u2",
           12: "u4", 13: "u8", 14: "c8", 15: "c16", 16: "u1", 17: "u1", 18: "u1", 19: "u1", 20: "u1"}
_EXACT_THREADS = 2


class Error(RuntimeError):
    """What the runtime says; `status` is its tn_status_t."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@functools.cache
def _library():
    lib = c.CDLL(locate.runtime_library())
    p, u32 = c.c_void_p, c.c_uint32
    tensors, error = c.POINTER(_Tensor), c.POINTER(_Error)
    for name, arguments in {
        "tn_program_open": (c.c_char_p, c.POINTER(_OpenOptions), c.POINTER(p), error),
        "tn_program_close": (p,),
        "tn_program_info": (p, c.POINTER(_ProgramInfo)),
        "tn_variant_info": (p, u32, c.POINTER(_VariantInfo), error),
        "tn_entry_info": (p, u32, c.POINTER(_EntryInfo), error),
        "tn_entry_find": (p, c.c_char_p, c.POINTER(u32), error),
        "tn_state_info": (p, u32, c.POINTER(_StateInfo), error),
        "tn_tensor_info": (p, u32, c.c_int, u32, c.POINTER(_TensorInfo), error),
        "tn_entry_output_shapes": (p, u32, tensors, u32, tensors, u32, error),
        "tn_session_create": (p, c.POINTER(_SessionOptions), c.POINTER(p), error),
        "tn_session_close": (p,),
        "tn_session_call": (p, u32, tensors, u32, tensors, u32, error),
        "tn_session_reset": (p, error),
        "tn_session_state_write": (p, u32, c.c_void_p, c.c_size_t, error),
        "tn_session_save_bytes": (p,),
        "tn_session_save": (p, c.c_void_p, c.c_size_t, error),
        "tn_session_restore": (p, c.c_char_p, c.c_size_t, error),
        "tn_session_memory": (p, c.POINTER(_MemoryNeeds)),
    }.items():
        function = getattr(lib, name)
        function.argtypes = arguments
        function.restype = c.c_int
    for name in ("tn_program_close", "tn_program_info", "tn_session_close", "tn_session_memory"):
        getattr(lib, name).restype = None
    lib.tn_session_save_bytes.restype = c.c_size_t
    return lib


def _check(function, *arguments):
    error = _Error(struct_bytes=c.sizeof(_Error))
    status = function(*arguments, c.byref(error))
    if status:
        raise Error(status, error.message.decode(errors="replace"))


def _sized(kind, **fields):
    return kind(struct_bytes=c.sizeof(kind), **fields)


class Slot:
    """Name and type of one input or output."""

    def __init__(self, info):
        self.name, self.path = info.name.decode(), info.path.decode()
        self.dtype_code, self.rank, self.optional = info.dtype, info.rank, bool(info.optional)
        self.dtype = np.dtype(_DTYPES[info.dtype])


class Entry:
    def __init__(self, program, index):
        lib, info = _library(), _sized(_EntryInfo)
        _check(lib.tn_entry_info, program._handle, index, c.byref(info))
        self.index, self.name = index, info.name.decode()
        self.inputs, self.outputs = [], []
        for side, count, slots in ((0, info.inputs, self.inputs), (1, info.outputs, self.outputs)):
            for i in range(count):
                tensor = _sized(_TensorInfo)
                _check(lib.tn_tensor_info, program._handle, index, side, i, c.byref(tensor))
                slots.append(Slot(tensor))


class Program:
    """An open .tenon file. Keep it open as long as its sessions."""

    def __init__(self, path, variant=None, threads=0, device=None, cache=None):
        self._handle = c.c_void_p()
        options = _sized(_OpenOptions, variant=variant.encode() if variant else None, threads=threads,
                         device=device.encode() if device else None, cache=os.fsencode(cache) if cache else None)
        _check(_library().tn_program_open, os.fsencode(path), c.byref(options), c.byref(self._handle))
        self._info = _sized(_ProgramInfo)
        _library().tn_program_info(self._handle, c.byref(self._info))
        self.entries = [Entry(self, i) for i in range(self._info.entries)]

    @property
    def variant(self):
        info = _sized(_VariantInfo)
        _check(_library().tn_variant_info, self._handle, self._info.variant, c.byref(info))
        return info.name.decode()

    def entry(self, name=None):
        """The entry of that name; without one, the only entry or "main"."""
        if name is None and len(self.entries) == 1:
            return self.entries[0]
        index = c.c_uint32()
        _check(_library().tn_entry_find, self._handle, (name or "main").encode(), c.byref(index))
        return self.entries[index.value]

    def session(self, threads=0):
        return Session(self, threads)

    def close(self):
        if self._handle:
            _library().tn_program_close(self._handle)
            self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Session:
    """State and memory for calls, one at a time. Calling it runs the program's only (or "main") entry."""

    def __init__(self, program, threads=0):
        self._program, self._handle = program, c.c_void_p()
        options = _sized(_SessionOptions, threads=threads, flags=_EXACT_THREADS if threads else 0)
        _check(_library().tn_session_create, program._handle, c.byref(options), c.byref(self._handle))

    def __call__(self, *inputs, entry=None):
        call = self.prepare(*inputs, entry=entry)
        call()
        return call.results()

    def prepare(self, *inputs, entry=None):
        """Binds inputs and allocates outputs once; the result is a function without arguments that can be timed."""
        return Call(self, self._program.entry(entry), inputs)

    def reset(self):
        _check(_library().tn_session_reset, self._handle)

    def seed(self, number):
        """Sets the seed of the program's random numbers, and begins with their first call again."""
        for index in range(self._program._info.states):
            info = _sized(_StateInfo)
            _check(_library().tn_state_info, self._program._handle, index, c.byref(info))
            if info.name == b"random_state":
                words = (c.c_uint64 * 2)(number, 0)
                return _check(_library().tn_session_state_write, self._handle, index, words, c.sizeof(words))
        raise Error(1, "the program makes no random numbers")

    def save(self):
        """The values of the state, as bytes that `restore` takes, in this or another session of the program."""
        block = c.create_string_buffer(_library().tn_session_save_bytes(self._handle))
        _check(_library().tn_session_save, self._handle, block, len(block))
        return block.raw

    def restore(self, block):
        """Sets the state to what `save` gave."""
        _check(_library().tn_session_restore, self._handle, bytes(block), len(block))

    def memory(self):
        needs = _sized(_MemoryNeeds)
        _library().tn_session_memory(self._handle, c.byref(needs))
        return {name: getattr(needs, name) for name, _ in _MemoryNeeds._fields_[1:]}

    def close(self):
        if self._handle:
            _library().tn_session_close(self._handle)
            self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_handle", None) and getattr(self._program, "_handle", None):
            self.close()


def _as_array(value):
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu().contiguous()
        if str(value.dtype) == "torch.bfloat16":
            import torch

            value = value.view(torch.uint16)
        value = value.numpy()
    return np.asarray(value, order="C")


def _code_of(array, slot):
    if array.dtype == slot.dtype:
        return slot.dtype_code
    for code, name in _DTYPES.items():
        if np.dtype(name) == array.dtype:
            return code
    raise Error(6, f"input '{slot.name}': numpy type {array.dtype} is not known")


class Call:
    def __init__(self, session, entry, inputs):
        self._session, self._entry, lib = session, entry, _library()
        self._arrays = [None if x is None else _as_array(x) for x in inputs]
        slots = entry.inputs + [entry.inputs[-1]] * (len(inputs) - len(entry.inputs)) if entry.inputs else []
        self._dims = [(c.c_int64 * max(1, a.ndim if a is not None else 0))(*(a.shape if a is not None else ()))
                      for a in self._arrays]
        self._inputs = (_Tensor * max(1, len(inputs)))(*[
            _Tensor(None, None, 0, 0) if a is None else
            _Tensor(a.ctypes.data, d, a.ndim, _code_of(a, slots[i]) if i < len(slots) else 2)
            for i, (a, d) in enumerate(zip(self._arrays, self._dims))])
        self._out_dims = [(c.c_int64 * max(1, s.rank))() for s in entry.outputs]
        self._outputs = (_Tensor * max(1, len(entry.outputs)))(*[
            _Tensor(None, d, s.rank, s.dtype_code) for s, d in zip(entry.outputs, self._out_dims)])
        _check(lib.tn_entry_output_shapes, session._program._handle, entry.index, self._inputs, len(inputs),
               self._outputs, len(entry.outputs))
        self._bounds = [list(d)[:s.rank] for s, d in zip(entry.outputs, self._out_dims)]
        self._results = [_aligned(b, s.dtype) for b, s in zip(self._bounds, entry.outputs)]
        for tensor, array in zip(self._outputs, self._results):
            tensor.data = array.ctypes.data
        self._call = lib.tn_session_call
        self._error = _Error(struct_bytes=c.sizeof(_Error))
        self._arguments = (session._handle, entry.index, self._inputs, len(inputs), self._outputs, len(entry.outputs),
                           c.byref(self._error))

    def __call__(self):
        status = self._call(*self._arguments)
        if status:
            raise Error(status, self._error.message.decode(errors="replace"))

    def results(self, copy=True):
        """Outputs of the last call: copies, or the arrays that the next call of this object writes again."""
        found = [tuple(list(d)[:s.rank]) for s, d in zip(self._entry.outputs, self._out_dims)]
        for dims, bound in zip(self._out_dims, self._bounds):
            dims[:len(bound)] = bound
        views = [a.reshape(-1)[:int(np.prod(f, dtype=np.int64))].reshape(f) for a, f in zip(self._results, found)]
        return [v.copy() for v in views] if copy else views


def _aligned(shape, dtype):
    """An array that starts at a cache line."""
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(count + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + count].view(dtype).reshape(shape)
