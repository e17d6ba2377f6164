// The .npy header: what NumPy writes is read, what it would not write is refused, and what we write is what NumPy writes.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeHeader, headerEnd, NpyFormatError, parseHeader, showShape } from "../../ts/cli/npy.js";
import { data, withDictionary } from "./support.js";

const shapes = fc.array(fc.nat({ max: 2 ** 40 }), { maxLength: 8 });
const descrs = fc.constantFrom("<f4", "<f8", "<f2", "|u1", "|i1", "<i8", "<u2", ">f4", "|O", "<U7");

describe("headers we write", () => {
  test("are read back whole, for any shape and dtype", () => {
    fc.assert(
      fc.property(descrs, shapes, (descr, shape) => {
        const bytes = encodeHeader(descr, shape);
        expect(parseHeader(bytes)).toEqual({ descr, fortranOrder: false, shape, dataOffset: bytes.length });
      }),
    );
  });

  test("put the data at a multiple of 64 bytes and end in a newline", () => {
    fc.assert(
      fc.property(descrs, shapes, (descr, shape) => {
        const bytes = encodeHeader(descr, shape);
        expect([bytes.length % 64, bytes.at(-1)]).toEqual([0, 10]);
      }),
    );
  });

  test("are NumPy's, byte for byte", () => {
    const written = readFileSync(data("digits-logits.npy")).subarray(0, 128);
    expect(Buffer.from(encodeHeader("<f4", [1797, 10])).equals(written)).toBe(true);
  });
});

describe("any bytes at all", () => {
  test("give a header or an NpyFormatError, nothing else", () => {
    const start = fc.constantFrom([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0], [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 2, 0], []);
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), (head, tail) => {
        try {
          parseHeader(Uint8Array.from([...head, ...tail]));
        } catch (error) {
          expect(error).toBeInstanceOf(NpyFormatError);
        }
      }),
    );
  });

  test("a header with one byte changed is read otherwise, refused, or the byte was padding", () => {
    const good = encodeHeader("<f4", [12, 345]);
    fc.assert(
      fc.property(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const bytes = Uint8Array.from(good);
        bytes[at] = byte;
        try {
          const header = parseHeader(bytes);
          expect(header.shape.every((length) => Number.isSafeInteger(length) && length >= 0)).toBe(true);
          expect(header.dataOffset).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(NpyFormatError);
        }
      }),
    );
  });
});

describe("headers as others write them", () => {
  const cases: [name: string, dictionary: string, shape: number[], fortran: boolean][] = [
    ["a scalar", "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", [], false],
    ["one axis", "{'descr': '<f8', 'fortran_order': False, 'shape': (7,), }", [7], false],
    ["no trailing comma", "{'descr': '<f8', 'fortran_order': False, 'shape': (7, 2)}", [7, 2], false],
    ["another order of entries", "{'shape': (7, 2), 'fortran_order': True, 'descr': '<f8'}", [7, 2], true],
    ["double quotes and no spaces", '{"descr":"<f8","fortran_order":False,"shape":(7,2)}', [7, 2], false],
    ["Python 2's long integers", "{'descr': '<f8', 'fortran_order': False, 'shape': (7L, 2L), }", [7, 2], false],
    ["much padding", `{'descr': '<f8', 'fortran_order': False, 'shape': (0, 2), }${" ".repeat(500)}`, [0, 2], false],
  ];
  for (const [name, dictionary, shape, fortranOrder] of cases) {
    for (const version of [1, 2, 3]) {
      test(`${name}, version ${version}`, () => {
        const bytes = withDictionary(dictionary, new Uint8Array(0), version);
        expect(parseHeader(bytes)).toEqual({ descr: "<f8", fortranOrder, shape, dataOffset: bytes.length });
        expect(headerEnd(bytes.subarray(0, 12))).toBe(bytes.length);
      });
    }
  }
});

describe("headers that are refused, with the reason", () => {
  const cases: [name: string, dictionary: string, message: RegExp][] = [
    ["a structured dtype", "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (7,), }", /structured type/],
    ["no shape", "{'descr': '<f4', 'fortran_order': False, }", /no 'shape'/],
    ["no dtype", "{'fortran_order': False, 'shape': (7,), }", /no dtype/],
    ["no order", "{'descr': '<f4', 'shape': (7,), }", /no 'fortran_order'/],
    ["order as a number", "{'descr': '<f4', 'fortran_order': 0, 'shape': (7,), }", /expected True or False/],
    ["a negative length", "{'descr': '<f4', 'fortran_order': False, 'shape': (-7,), }", /expected a tuple of lengths/],
    ["a fractional length", "{'descr': '<f4', 'fortran_order': False, 'shape': (7.5,), }", /got "\.5,\), }/],
    ["a shape that is no tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': 7, }", /expected a tuple/],
    ["a length above 2^53", "{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740993,), }", /9007199254740993.*2\^53/],
    ["an entry too many", "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), 'extra': 1}", /'extra'/],
    ["an entry twice", "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (7,)}", /'descr' twice/],
    ["code in place of values", "{'descr': __import__('os'), 'fortran_order': False, 'shape': (7,)}", /got "__import__\('", expected a value/],
    ["an unfinished dictionary", "{'descr': '<f4', 'fortran_order': False", /got its end/],
    ["text after the dictionary", "{'descr': '<f4', 'fortran_order': False, 'shape': (7,)} + 1", /expected nothing after/],
    ["more axes than NumPy has", `{'descr': '<f4', 'fortran_order': False, 'shape': (${"1,".repeat(30000)}), }`, /shape got 30000 axes, expected at most 64/],
    ["brackets without end", `{'descr': ${"[".repeat(60000)}`, /nests deeper than 32/],
    ["no dictionary", "['descr', '<f4']", /expected '\{'/],
  ];
  for (const [name, dictionary, message] of cases) {
    test(name, () => {
      expect(() => parseHeader(withDictionary(dictionary))).toThrow(NpyFormatError);
      expect(() => parseHeader(withDictionary(dictionary))).toThrow(message);
    });
  }

  test("format version 4", () => {
    const bytes = encodeHeader("<f4", [7]);
    bytes[6] = 4;
    expect(() => parseHeader(bytes)).toThrow("format version got 4.0, expected 1.0, 2.0 or 3.0");
  });

  test("a header length that no array needs", () => {
    expect(() => headerEnd(Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 2, 0, 255, 255, 255, 255))).toThrow("4294967295 bytes, expected at most 65536");
  });

  test("every cut through a header", () => {
    const bytes = encodeHeader("<f4", [7, 3]);
    for (let length = 0; length < bytes.length; length++) expect(() => parseHeader(bytes.subarray(0, length)), `${length} bytes`).toThrow(NpyFormatError);
  });
});

test("shapes are shown as Python prints them", () => {
  expect([[], [3], [3, 4]].map(showShape)).toEqual(["()", "(3,)", "(3, 4)"]);
});
