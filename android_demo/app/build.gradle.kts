// The app: one Activity, a service, framework widgets. Built where an Android SDK is.
import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "org.hiertk.demo"
    compileSdk = 35

    defaultConfig {
        applicationId = "org.hiertk.demo"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "0.1.0"
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }

    // One APK for each kind of processor: the engine is most of its size.
    splits {
        abi {
            isEnable = true
            reset()
            include("arm64-v8a", "armeabi-v7a", "x86_64")
            isUniversalApk = false
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    // Several parts of Netty carry these, and nothing reads them.
    packaging {
        resources {
            excludes += setOf("META-INF/INDEX.LIST", "META-INF/io.netty.versions.properties", "META-INF/versions/**")
        }
    }
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_1_8
        freeCompilerArgs.add("-Xsuppress-deprecated-jvm-target-warning")
    }
}

dependencies {
    // zstd-jni's aar has the libraries of phones, its jar those of computers.
    implementation(project(":core")) {
        exclude(group = "com.github.luben", module = "zstd-jni")
    }
    implementation(project(":learner-ort")) {
        exclude(group = "com.github.luben", module = "zstd-jni")
    }
    implementation(project(":learner-executorch")) {
        exclude(group = "com.github.luben", module = "zstd-jni")
    }
    implementation(variantOf(libs.zstd) { artifactType("aar") })
    implementation(libs.onnxruntime.android)
    // It asks for androidx.core and uses nothing of it.
    implementation(libs.executorch.android) {
        exclude(group = "androidx.core")
    }
    implementation(libs.zxing)
    androidTestImplementation(libs.androidx.test.runner)
    androidTestImplementation(libs.androidx.test.core)
    androidTestImplementation(libs.androidx.test.junit)
}
