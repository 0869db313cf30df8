package dicomfile

import (
	"crypto/rand"
	"math/big"
)

// NewUID makes a UID that nobody else has: "2.25." and 122 random bits as a
// version 4 UUID (PS3.5 B.2), at most 44 characters.
func NewUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	b[6] = b[6]&0x0F | 0x40
	b[8] = b[8]&0x3F | 0x80
	return "2.25." + new(big.Int).SetBytes(b[:]).String()
}
