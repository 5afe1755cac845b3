// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// keySuffix ends the name of the file beside the database that holds the key of its secrets. A copy of the
// database alone, a backup, tells none of them.
const keySuffix = ".key"

// seals encrypts what must not stand in the database in clear.
type seals struct {
	mu   sync.Mutex
	aead cipher.AEAD // nil until it was first needed; guarded by mu
}

// open reads the key, or makes one at the first use. What kept it from that, such as a full disk, may be over the next time.
func (k *seals) open(path string) (cipher.AEAD, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.aead != nil {
		return k.aead, nil
	}
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // which never fails (crypto/rand)
		err = writeKey(path, key)
	}
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%s: want 32 bytes, found %d; move it away, and loans that wait will have to be asked for again", path, len(key))
	}
	if err != nil {
		return nil, fmt.Errorf("key of the database's secrets: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err == nil {
		k.aead, err = cipher.NewGCMWithRandomNonce(block)
	}
	return k.aead, err
}

// writeKey makes a file for us alone, which is whole or not there: what was encrypted with a key that a crash took is lost.
func writeKey(path string, key []byte) error {
	part := path + ".new"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// seal encrypts a secret for the row with this id; "" stays so.
func (s *Store) seal(id, secret string) (string, error) {
	if secret == "" {
		return "", nil
	}
	aead, err := s.seals.open(s.path + keySuffix)
	if err != nil {
		return "", err
	}
	// The cipher draws its nonce itself, and takes none (crypto/cipher.NewGCMWithRandomNonce).
	return base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, []byte(secret), []byte(id))), nil //nolint:gosec // see above
}

// unseal is the reverse of seal.
func (s *Store) unseal(id, sealed string) (string, error) {
	aead, err := s.seals.open(s.path + keySuffix)
	if err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(sealed)
	if err == nil {
		text, err = aead.Open(nil, nil, text, []byte(id))
	}
	if err != nil {
		return "", fmt.Errorf("secret of %s cannot be decrypted: the key file %s is not the one it was encrypted with: %w", id, s.path+keySuffix, err)
	}
	return string(text), nil
}
