package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// assets are the scripts and the style sheet under names that contain the hash of what is in them, so that a browser
// and a cache may keep each for good.
type assets struct {
	prefix string
	urls   map[string]string // of a file, by its plain name
	served map[string]asset  // by hashed name
}

type asset struct {
	kind          string // its media type
	plain, packed []byte
}

// imports finds what a module of ours imports, in the two forms that ours have.
var imports = regexp.MustCompile(`(from|import) '\./([a-z]+\.js)'`)

func newAssets(prefix, themeCSS string) (*assets, error) {
	a := &assets{prefix: prefix, urls: map[string]string{}, served: map[string]asset{}}
	files, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := a.add(path.Base(file), themeCSS, 0); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// add hashes a file after those that it imports, since their hashed names are part of it.
func (a *assets) add(name, themeCSS string, depth int) error {
	if a.urls[name] != "" {
		return nil
	}
	if depth > 8 {
		return fmt.Errorf("scripts import each other in a circle at %s", name)
	}
	raw, err := staticFiles.ReadFile("static/" + name)
	if err != nil {
		return err
	}
	kind := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}[path.Ext(name)]
	switch path.Ext(name) {
	case ".css":
		raw = append([]byte(themeCSS), raw...)
	case ".js":
		for _, m := range imports.FindAllSubmatch(raw, -1) {
			if err := a.add(string(m[2]), themeCSS, depth+1); err != nil {
				return err
			}
		}
		raw = imports.ReplaceAllFunc(raw, func(found []byte) []byte {
			m := imports.FindSubmatch(found)
			return []byte(string(m[1]) + " './" + path.Base(a.urls[string(m[2])]) + "'")
		})
	}
	sum := sha256.Sum256(raw)
	hashed := strings.TrimSuffix(name, path.Ext(name)) + "-" + hex.EncodeToString(sum[:8]) + path.Ext(name)
	packed, err := pack(raw)
	if err != nil {
		return err
	}
	a.urls[name], a.served[hashed] = a.prefix+hashed, asset{kind: kind, plain: raw, packed: packed}
	return nil
}

func pack(raw []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Static serves the scripts and the style sheet, at the prefix that Config names.
func (p *Pages) Static() http.Handler { return p.assets }

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "static files are only read", http.StatusMethodNotAllowed)
		return
	}
	name, ours := strings.CutPrefix(r.URL.Path, a.prefix)
	file, found := a.served[name]
	if !ours || !found {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	body := file.plain
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = file.packed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body) // a failed write is the visitor's connection, which is gone
	}
}

// acceptsGzip reads Accept-Encoding as far as is needed: gzip is named and not refused by q=0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			weight, err := strconv.ParseFloat(strings.TrimPrefix(strings.ReplaceAll(q, " ", ""), "q="), 64)
			return q == "" || err == nil && weight > 0
		}
	}
	return false
}
