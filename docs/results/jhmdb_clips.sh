# The 921 training clips of docs/results.md, from the archive "Videos" of JHMDB in data/JHMDB/ReCompress_Videos.
set -eu
cp configs/data/jhmdb_921.txt data/JHMDB/ReCompress_Videos/ours.txt
vidcorr check-data data/JHMDB/ReCompress_Videos/ours.txt --output checked/jhmdb
mkdir data/jhmdb_clips
while read -r video; do
    ffmpeg -nostdin -i "$video" -an -c:v libx264 -preset veryfast -tune fastdecode -crf 23 -g 12 \
        -x264-params b-pyramid=none -pix_fmt yuv420p "data/jhmdb_clips/$(basename "${video%.*}").mp4"
done < checked/jhmdb/clean.txt
vidcorr check-data data/jhmdb_clips --output checked/clips
