package frames

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// verify compares the whole with what check knows of its CRC32C, once. What no program has asked for is read for it.
func (r *remote) verify(check func(crc32c uint32) error) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	if err := r.failed(); err != nil || r.verified {
		return err
	}
	sum := uint32(0)
	for number := int64(0); number*blockBytes < r.size; number++ {
		if _, ok := r.sums[number]; !ok {
			if err := r.fetch(number); err != nil {
				return err
			}
		}
		sum = joinCRC(sum, r.sums[number], min(blockBytes, r.size-number*blockBytes))
	}
	if err := check(sum); err != nil {
		return r.fail(err)
	}
	r.verified = true
	return nil
}

// note keeps the checksum of a block. One that reads differently than before has to be looked at again.
func (r *remote) note(b block) {
	sum := crc32.Checksum(b.body, castagnoli)
	if before, ok := r.sums[b.number]; ok && before != sum {
		r.verified = false
	}
	if r.sums == nil {
		r.sums = map[int64]uint32{}
	}
	r.sums[b.number] = sum
}

// joinCRC is the CRC32C of two texts in a row, of that of each and the length of the second in bytes: zlib's crc32_combine (crc32.c,
// 1.2.12) with Castagnoli's polynomial. A CRC is a polynomial over GF(2), and n zero bytes behind a text multiply it by x^(8n).
func joinCRC(first, second uint32, length int64) uint32 {
	shift := uint32(1) << 31 // x^0: the highest bit has the lowest power
	for power := powerOfX(8); length > 0; length >>= 1 {
		if length&1 == 1 {
			shift = multiply(power, shift)
		}
		power = multiply(power, power)
	}
	return multiply(shift, first) ^ second
}

func powerOfX(n int) uint32 { return uint32(1) << (31 - n) }

// multiply is the product of two polynomials modulo Castagnoli's.
func multiply(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return product
}
